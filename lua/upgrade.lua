-- SPDX-License-Identifier: MIT
-- Makes a shared hold an exclusive one, if it is the only hold. Two that wanted this would wait for each
-- other, so nobody waits.
--
-- KEYS  1  the lock's key
-- ARGV  1  shared holder member      2  ttl ms      3  grace ms      4  nonce
--       5  the exclusive holder member that it becomes
--
-- { 1, nonce, fence, lease left ms}   it is exclusive now, or was already
-- { 4, nonce, 0, 0}                   others hold it too: waiting for them might never end
-- { 0, nonce, 0, 0}                   the holder is not there or has expired: nothing was done
-- {-1, nonce, 0, 0}                   an argument is out of range; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, exclusive = argv[1] or '', argv[5] or ''
local ttl, grace, nonce = tonumber(argv[2]), tonumber(argv[3]), tonumber(argv[4])
if not (ttl and ttl >= 1 and ttl <= 2592000000 and ttl % 1 == 0
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and string.find(holder, '^s[^ ]* [^ ]+ ') and string.find(exclusive, '^x[^ ]* [^ ]+ ')) then
  return {-1, nonce or 0, 0, 0}
end

--@include now
--@include expiry
--@include holders
local lease = end_of(holder, 's') - now_ms
if lease <= 0 then
  lease = end_of(exclusive, 'x') - now_ms
  if lease <= 0 then return {0, nonce, 0, 0} end
  return {1, nonce, last_fence(), lease}
end
if count_shared() + count_exclusive() > 1 then return {4, nonce, 0, 0} end
local minted = math.max(last_fence() + 1, now_us)
lease = math.max(lease, ttl)
call('ZREM', key, holder)
call('ZADD', key, '-' .. decimal(minted), 'f', decimal(now_ms + lease), exclusive)
purge()
expire(lease + grace)
return {1, nonce, minted, lease}
