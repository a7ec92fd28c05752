-- SPDX-License-Identifier: MIT
-- Takes a lock from everyone who holds it, and gives it to whoever is next. Those who held it learn
-- of it from their next renewal or release. It is made for the fence that it names: asked twice, it
-- takes nothing from the next ones. Whoever names fence 0 only looks.
--
-- KEYS  1  the lock's key
-- ARGV  1  not read      2  linger ms      3  grace ms      4  nonce
--       5  the last fence that is known
--
-- { 1, nonce, now us, last fence, holders}   so many lost it; nobody has it now
-- { 2, nonce, now us, last fence, holders}   so many lost it; it was handed over
-- { 8, nonce, now us, last fence, holders}   the last fence is another: nobody lost it; so many
--                                            hold it
-- { 7, nonce, now us, last fence, holders}   as 1, 2 or 8; but more of those who wait are to be
--                                            served: ask again
-- {-1, nonce, 0}                             an argument is out of range; nothing was done
-- {-2, nonce, now us}                        the key has no lock of this layout; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local linger, grace, nonce, named = argv[2], argv[3] + 0, argv[4] + 0, argv[5] + 0
if not (nonce >= -NUMBER_MOST and nonce <= NUMBER_MOST
    and named >= 0 and named <= FENCE_MOST and named % 1 == 0
    and (linger == '0' or string.find(linger, '^[1-9]%d*$'))
    and (#linger < 10 or linger + 0 <= SPAN_MOST)
    and grace >= 0 and grace <= SPAN_MOST and grace % 1 == 0) then
  return {-1, nonce, 0}
end

--@include now
--@include expiry
--@include holders
--@include line
local clock = decimal(now_us)
--@include handover
--@include burial
if not is_layout() then return {-2, nonce, now_us} end
local writers, readers = count_exclusive(), count_shared()
local held, code = writers + readers, 8
if named > 0 then left = purge() or left end
if named > 0 and named == last_fence() then
  code = 1
  if held > 0 then left = readers > 0 and 's' or 'x' end
  call('ZREMRANGEBYSCORE', key, '(0', '(READER_BAND')
end
if named > 0 then
  hand_over()
  if longest > 0 then expire(longest + grace) end
  if refusal then return refusal end
end
if code == 1 and longest > 0 then code = 2 end
local last = last_fence()
if code == 1 and call('ZCOUNT', key, '(0', '+inf') == 0 and call('ZCARD', key) > 0 then
  let_linger()
end
return {more and 7 or code, nonce, now_us, last, held}
