-- SPDX-License-Identifier: MIT
-- Gives a lock back, to the next waiter if there is one. A lease that is over but that nobody took
-- since is released like any other.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms (read when somebody waits)      4  nonce
--
-- { 1, nonce}   released; nobody waited
-- { 2, nonce}   released and handed over
-- { 0, nonce}   the holder was not there: nothing was done
-- {-1, nonce}   an argument is out of range; nothing was done

--@include leaving
if call('ZREM', key, holder) == 0 then return {0, nonce} end
local gone = string.sub(holder, 1, 1)
--@include vacate
