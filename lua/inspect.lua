-- SPDX-License-Identifier: MIT
-- Shows who holds a lock and who waits for it.
--
-- KEYS  1  the lock's key
-- ARGV  1  how many members to list at the most, 1 to 10000      2  nonce
--
-- { 1, nonce, now us, holders, waiters, [member, score, ...]}   live holders only are counted
-- {-1, nonce, 0, 0, 0, []}                                      an argument is out of range
local call, key = redis.call, KEYS[1]
local most, nonce = tonumber(ARGV[1]), tonumber(ARGV[2])
if not (most and most >= 1 and most <= 10000 and most % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991) then
  return {-1, nonce or 0, 0, 0, 0, {}}
end

--@include now
--@include expiry
--@include holders
local list = call('ZRANGE', key, '0', decimal(most - 1), 'WITHSCORES')
for i = 2, #list, 2 do list[i] = tonumber(list[i]) end
local waiters = call('ZCOUNT', key, '100000000000000', '+inf')
return {1, nonce, now_us, count_exclusive() + count_shared(), waiters, list}
