-- SPDX-License-Identifier: MIT
-- Makes an exclusive hold a shared one without letting go, and lets waiting readers in beside it.
-- Asked again, it serves the line again.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  not used: a ttl      3  grace ms      4  nonce
--       5  the last fence that is known
--
-- { 1, nonce, now us, fence, 2, lease left ms}
--                        it is shared now, or was already; the last fence is a new one
-- { 4, nonce, now us, fence, 1, lease left ms}
--                        its owner has another exclusive hold; the last fence is new
-- { 8, nonce, now us, last fence, kind, lease left ms}
--                        the last fence is another: nothing was done
-- { 7, nonce, now us, last fence, 2, lease left ms}
--                        as 1 or 8; but more of those who wait are to be served: ask again at once
-- { 0, nonce, now us}    the holder is not there or has expired: nothing was done
-- {-1, nonce, 0}         an argument is out of range; nothing was done

--@include conversion
--@include now
--@include expiry
--@include holders
--@include line
local clock = decimal(now_us)
--@include handover
local lease, kind = lease_of(holder)
if lease <= 0 then
  call('ZREM', key, '')
  return {0, nonce, now_us}
end
local code, minted = 1, last_fence()
if minted ~= named then
  -- A replica refuses the write, and does not answer by its own clock.
  call('ZREM', key, '')
  code = 8
else
  minted = math.max(minted + 1, now_us)
  call('PEXPIRE', key, decimal(math.max(lease + grace, call('PTTL', key))))
  call('ZADD', key, at_fence(minted), 'f1')
  if kind == 1 and count_exclusive() > 1 then return {4, nonce, now_us, minted, 1, lease} end
  if kind == 1 then call('ZADD', key, decimal(now_ms + lease + SHARED_BAND), holder) end
  kind = 2
end
if kind == 2 then
  purge()
  batch = true
  hand_over()
  if longest > 0 then expire(longest + grace) end
  if refusal then return refusal end
end
return {more and 7 or code, nonce, now_us, minted, kind, lease}
