-- SPDX-License-Identifier: MIT
-- Undoes an acquire, whatever came of it.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms (read when others are there)      4  nonce
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
local gone = waiter ~= '' and call('ZREM', key, waiter) or 0
local was_held = call('ZREM', key, holder) == 1
if not was_held and gone == 0 then return {0, nonce} end
-- Readers may have waited for no one but this writer.
local frees = was_held or string.sub(holder, 1, 1) == 'x'
  and call('ZCOUNT', key, '100000000000000', '(4000000000000000') > 0
if not frees then return {3, nonce} end
if was_held and members - gone <= 2 then
  if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
  return {1, nonce}
end

--@include now
--@include expiry
--@include holders
--@include handover
if not was_held then
  left = purge() or 's'
  local longest, refusal = hand_over()
  if longest > 0 then expire(longest + grace) end
  return refusal or {3, nonce}
end
--@include vacate
