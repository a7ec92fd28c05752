-- SPDX-License-Identifier: MIT
-- Makes a lease last longer. It never shortens one, and never brings one back.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  ttl ms      3  grace ms      4  nonce
--       5  a fence that the last one shall not be below; 0 or absent: none
--
-- { 1, nonce, now us, last fence, kind, lease left ms}
--                        the lease lasts at least ttl ms; kind 1 exclusive, 2 shared
-- { 0, nonce, now us}    the holder is not there or has expired: nothing was done
-- {-1, nonce, 0}         an argument is out of range; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, ttl, grace, nonce, least =
  argv[1], argv[2] + 0, argv[3] + 0, argv[4] + 0, (argv[5] or 0) + 0
local mark = string.sub(holder, 1, 1)
if not (ttl >= 1 and ttl <= SPAN_MOST and ttl % 1 == 0
    and grace >= 0 and grace <= SPAN_MOST and grace % 1 == 0
    and nonce >= -NUMBER_MOST and nonce <= NUMBER_MOST
    and least >= 0 and least <= FENCE_MOST and least % 1 == 0
    and (mark == '-' or mark == '@')) then
  return {-1, nonce, 0}
end

--@include now
--@include expiry
local score = tonumber(call('ZSCORE', key, holder) or 0)
local band, kind = 0, 1
if score >= SHARED_BAND then band, kind = SHARED_BAND, 2 end
local lease = score - band - now_ms
if lease <= 0 then
  -- A replica refuses the write, and does not answer for its primary; nor does it below.
  call('ZREM', key, '')
  return {0, nonce, now_us}
end
local fence = -(call('ZSCORE', key, 'f1') or -FENCE_BAND) - FENCE_BAND
-- PEXPIRE comes first, for a server out of memory refuses ZADD only as the first write of a script.
if lease < ttl or fence < least then
  call('PEXPIRE', key, decimal(math.max(ttl + grace, call('PTTL', key))))
end
if fence < least then
  fence = least
  call('ZADD', key, '-' .. decimal(fence + FENCE_BAND), 'f1')
end
if lease >= ttl then
  call('ZREM', key, '')
else
  lease = ttl
  call('ZADD', key, decimal(now_ms + ttl + band), holder)
end
return {1, nonce, now_us, fence, kind, lease}
