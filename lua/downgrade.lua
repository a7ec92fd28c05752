-- SPDX-License-Identifier: MIT
-- Makes an exclusive hold a shared one without letting go, and lets waiting readers in beside it.
--
-- KEYS  1  the lock's key
-- ARGV  1  exclusive holder member      2  not read      3  grace ms      4  nonce
--       5  the shared holder member that it becomes
--
-- { 1, nonce, lease left ms}   it is shared now, or was already
-- { 4, nonce, 0}               its owner has another exclusive hold: nothing was done
-- { 0, nonce, 0}               the holder is not there or has expired: nothing was done
-- {-1, nonce, 0}               an argument is out of range; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, shared = argv[1] or '', argv[5] or ''
local grace, nonce = tonumber(argv[3]), tonumber(argv[4])
if not (grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and string.find(holder, '^x[^ ]* [^ ]+ ') and string.find(shared, '^s[^ ]* [^ ]+ ')) then
  return {-1, nonce or 0, 0}
end

--@include now
--@include expiry
--@include holders
--@include handover
local lease = end_of(holder, 'x') - now_ms
if lease <= 0 then
  lease = end_of(shared, 's') - now_ms
  return lease > 0 and {1, nonce, lease} or {0, nonce, 0}
end
if count_exclusive() > 1 then return {4, nonce, 0} end
call('ZREM', key, holder)
call('ZADD', key, decimal(now_ms + lease + 20000000000000), shared)
purge()
batch = true
local longest, refusal = hand_over()
if longest > 0 then expire(longest + grace) end
return refusal or {1, nonce, lease}
