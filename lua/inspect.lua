-- SPDX-License-Identifier: MIT
-- Shows who holds a lock and who waits for it.
--
-- KEYS  1  the lock's key
-- ARGV  1  how many members to list at the most, 1 to 10000      2  nonce
--
-- { 1, nonce, now us, last fence, holders, waiters, [member, score, ...]}
--                        live holders only are counted
-- {-1, nonce, 0}         an argument is out of range
-- {-2, nonce, now us}    the key has no lock of this layout
local call, key = redis.call, KEYS[1]
local most, nonce = ARGV[1] + 0, ARGV[2] + 0
if not (most >= 1 and most <= 10000 and most % 1 == 0
    and nonce >= -NUMBER_MOST and nonce <= NUMBER_MOST) then
  return {-1, nonce, 0}
end

--@include now
--@include expiry
--@include holders
if not is_layout() then return {-2, nonce, now_us} end
local list = call('ZRANGEBYSCORE', key, '(0', '+inf', 'WITHSCORES', 'LIMIT', '0', decimal(most))
for i = 2, #list, 2 do list[i] = tonumber(list[i]) end
local waiters = call('ZCOUNT', key, 'READER_BAND', '+inf')
return {1, nonce, now_us, last_fence(), count_exclusive() + count_shared(), waiters, list}
