-- SPDX-License-Identifier: MIT
-- Gives a lock back, to the next waiter if there is one. A lease that is over but that nobody took
-- since is released like any other. Asked again, it serves the line again.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms (read when others are there)
--       4  nonce
--       5  bury the hold id for so many ms; 0 or absent: do not
--       6  a fence: what was given out locally since; 0 or absent: none
--
-- { 1, nonce, now us}   released; nobody waited. Now is 0 where the clock was not looked at: TIME
--                       is a tenth of this
-- { 2, nonce, now us}   released and handed over
-- { 7, nonce, now us}   as 1 or 2, or as 0; but more of those who wait are to be served: ask again
--                       at once
-- { 0, nonce, now us}   the holder was not there
-- {-1, nonce, 0}        an argument is out of range; nothing was done
-- {-2, nonce, now us}   the key has no lock of this layout; nothing was done

--@include leaving
local is_plain = not argv[5]
if is_plain and members == 2 and call('ZREM', key, holder) == 1 then
  if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
  return {1, nonce, 0}
end

grace = grace + 0
local burial, given = (argv[5] or 0) + 0, (argv[6] or 0) + 0
if not (grace >= 0 and grace <= SPAN_MOST and grace % 1 == 0
    and burial >= 0 and burial <= SPAN_MOST and burial % 1 == 0
    and given >= 0 and given <= FENCE_MOST and given % 1 == 0) then
  return {-1, nonce, 0}
end

-- Some leave while others stay: after the fence there are only holders.
if is_plain and members > 2 and call('ZCOUNT', key, '(0', '(READER_BAND') == members - 1
    and call('ZREM', key, holder) == 1 then
  return {1, nonce, 0}
end

--@include now

-- The handover that is kept short: the fence is in the past, then comes our hold, then a writer; so
-- nobody else holds, and no reader waits. A write comes first: a server that refuses writes does so
-- before anybody is told.
--@include digits
local was_there, mint, clock = false, '-' .. digits, time[1] .. micros
local three = is_plain and members > 2
  and call('ZRANGEBYSCORE', key, '(' .. mint, '+inf', 'LIMIT', '0', '3')
if three and three[1] == 'f1' and three[2] ~= holder then
  -- Notes and the buried come before the holders.
  local two = call('ZRANGEBYSCORE', key, '(0', '+inf', 'LIMIT', '0', '2')
  three[2], three[3] = two[1], two[2]
end
if three and three[1] == 'f1' and three[2] == holder and three[3] then
  local claim, channel, at, hold_id =
    string.match(three[3], '^([1-9]%d*) ([^ {]+) x[fw]? ()%- ([^ ]+) ')
  local lease = tonumber(claim or 0)
  local told = claim and lease <= SPAN_MOST and redis.pcall('PUBSUB', 'NUMSUB', channel)
  if told and not told.err and tonumber(told[2]) > 0 then
    was_there = call('ZREM', key, holder) == 1
    local next_one = string.sub(three[3], at)
    local heard = redis.pcall('PUBLISH', channel,
      'grant ' .. clock .. ' ' .. claim .. ' ' .. clock .. ' ' .. next_one .. ' ' .. key)
    if type(heard) == 'number' and heard > 0 then
      local ends = now_ms + lease
      local ends_part = ends % 1000000
      call('ZREM', key, three[3], '?' .. hold_id)
      call('ZADD', key, mint, 'f1',
        string.format('%d%06d', (ends - ends_part) / 1000000, ends_part), next_one)
      lease = lease + grace
      -- Twice as long as it takes, so that most of the handovers that follow need not do it again.
      if call('PTTL', key) < lease then call('PEXPIRE', key, string.format('%.0f', lease * 2)) end
      return {2, nonce, now_us}
    end
  end
end

--@include expiry
--@include holders
--@include line
--@include handover
--@include burial
if not is_layout() then return {-2, nonce, now_us} end
local _, kind = lease_of(holder)
was_there = call('ZREM', key, holder) == 1 or was_there
if was_there and given > last_fence() then call('ZADD', key, at_fence(given), 'f1') end
bury(holder, burial)
local expired = purge()
left = was_there and (kind == 2 and 's' or 'x') or expired or 'x'
local code = was_there and 1 or 0
if code == 0 and members == 0 then return {0, nonce, now_us} end
--@include vacate
