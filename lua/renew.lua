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
    and holder:find('^x %S+ ')) then
  return {-1, nonce or 0, 0}
end

--@include clock
local ends = tonumber(call('ZSCORE', key, holder) or 0)
if ends <= now_ms then return {0, nonce, 0} end
if ends >= now_ms + ttl then return {1, nonce, ends - now_ms} end
-- PEXPIRE comes first, for a server out of memory refuses ZADD only as the first write of a script.
call('PEXPIRE', key, ('%.0f'):format(math.max(ttl + grace, call('PTTL', key))))
call('ZADD', key, ('%.0f'):format(now_ms + ttl), holder)
return {1, nonce, ttl}
