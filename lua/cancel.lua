-- SPDX-License-Identifier: MIT
-- Undoes an acquire, whatever came of it.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms (read when somebody waits)      4  nonce
--       5  waiter member, or ""
--
-- { 3, nonce}   left the queue
-- { 1, nonce}   was granted meanwhile, and is released; nobody waited
-- { 2, nonce}   was granted meanwhile, and is handed over
-- { 0, nonce}   neither was there: nothing was done
-- {-1, nonce}   an argument is out of range; nothing was done

--@include leaving
--@include waiter
if not is_waiter then return {-1, nonce} end
local left = 0
if waiter ~= '' then left = call('ZREM', key, waiter) end
if call('ZREM', key, holder) == 0 then return {3 * left, nonce} end
local gone = string.sub(holder, 1, 1)
--@include vacate
