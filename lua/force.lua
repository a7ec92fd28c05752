-- SPDX-License-Identifier: MIT
-- Takes a lock from everyone who holds it, and gives it to whoever is next. Those who held it learn of it
-- from their next renewal or release. Asked twice, it takes the lock from the next ones too.
--
-- KEYS  1  the lock's key
-- ARGV  1  not read      2  linger ms      3  grace ms      4  nonce
--
-- { 1, nonce, holders}   so many lost it; nobody has it now      { 2, nonce, holders}   it was handed over
-- {-1, nonce, 0}         an argument is out of range; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local linger, grace, nonce = argv[2], tonumber(argv[3]), tonumber(argv[4])
if not (nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and linger and (linger == '0' or string.find(linger, '^[1-9]%d*$'))
    and (#linger < 10 or tonumber(linger) <= 2592000000)
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0) then
  return {-1, nonce or 0, 0}
end

--@include now
--@include expiry
--@include holders
--@include handover
local writers, readers = count_exclusive(), count_shared()
local held = writers + readers
if readers > 0 then left = 's' end
call('ZREMRANGEBYSCORE', key, '1', '(100000000000000')
local longest, refusal = hand_over()
if longest > 0 then expire(longest + grace) end
if refusal then return refusal end
if longest > 0 then return {2, nonce, held} end
if call('ZCARD', key) == 1 then
  if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
end
return {1, nonce, held}
