-- SPDX-License-Identifier: MIT
-- Makes a lease last longer. It never shortens one, and never brings one back.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  ttl ms      3  grace ms      4  nonce
--
-- { 1, nonce, lease left ms}   the lease lasts at least ttl ms
-- { 0, nonce, 0}               the holder is not there or has expired: nothing was done
-- {-1, nonce, 0}               an argument is out of range; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder = argv[1]
local ttl, grace, nonce = tonumber(argv[2]), tonumber(argv[3]), tonumber(argv[4])
if not (ttl and ttl >= 1 and ttl <= 2592000000 and ttl % 1 == 0
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and holder and holder ~= 'f') then
  return {-1, nonce or 0, 0}
end

--@include now
--@include expiry
local band = string.sub(holder, 1, 1) == 's' and 20000000000000 or 0
local ends = tonumber(call('ZSCORE', key, holder) or 0) - band
if ends <= now_ms then return {0, nonce, 0} end
if ends >= now_ms + ttl then return {1, nonce, ends - now_ms} end
-- PEXPIRE comes first, for a server out of memory refuses ZADD only as the first write of a script.
call('PEXPIRE', key, decimal(math.max(ttl + grace, call('PTTL', key))))
call('ZADD', key, decimal(now_ms + ttl + band), holder)
return {1, nonce, ttl}
