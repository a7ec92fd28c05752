-- SPDX-License-Identifier: MIT
-- Makes a shared hold an exclusive one, if it is the only hold. Two that wanted this would wait for
-- each other, so nobody waits.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  ttl ms      3  grace ms      4  nonce
--       5  the last fence that is known
--
-- { 1, nonce, now us, fence, 1, lease left ms}
--                        it is exclusive now, or was already; with a new fence
-- { 4, nonce, now us, fence, 2, lease left ms}
--                        others hold it too: waiting for them might never end; the last fence is a
--                        new one
-- { 8, nonce, now us, last fence, kind, lease left ms}
--                        the last fence is another: nothing was done
-- { 0, nonce, now us}    the holder is not there or has expired: nothing was done
-- {-1, nonce, 0}         an argument is out of range; nothing was done

--@include conversion
--@include now
--@include expiry
--@include holders
local lease, kind = lease_of(holder)
if lease <= 0 then
  call('ZREM', key, '')
  return {0, nonce, now_us}
end
local fence = last_fence()
if fence ~= named then
  -- A replica refuses the write, and does not answer by its own clock.
  call('ZREM', key, '')
  return {8, nonce, now_us, fence, kind, lease}
end
fence = math.max(fence + 1, now_us)
-- PEXPIRE comes first, for a server out of memory refuses ZADD only as the first write of a script.
call('PEXPIRE', key, decimal(math.max(ttl + grace, call('PTTL', key))))
call('ZADD', key, at_fence(fence), 'f1')
if kind == 2 and count_shared() + count_exclusive() > 1 then
  return {4, nonce, now_us, fence, 2, lease}
end
lease = math.max(lease, ttl)
call('ZADD', key, decimal(now_ms + lease), holder)
purge()
return {1, nonce, now_us, fence, 1, lease}
