-- SPDX-License-Identifier: MIT
-- Gives a lock back, to the next waiter if there is one. A lease that is over but that nobody took
-- since is released like any other.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms (read when others are there)      4  nonce
--
-- { 1, nonce}   released; nobody waited
-- { 2, nonce}   released and handed over
-- { 0, nonce}   the holder was not there: nothing was done
-- {-1, nonce}   an argument is out of range; nothing was done

--@include leaving
if members <= 2 then
  if call('ZREM', key, holder) == 0 then return {0, nonce} end
  if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
  return {1, nonce}
end

-- Readers leave while others stay, and nobody waits.
if string.sub(holder, 1, 1) == 's' and call('ZCOUNT', key, '100000000000000', '+inf') == 0 then
  local left = call('ZREM', key, holder)
  return {left, nonce}
end

--@include now
local now = seconds .. micros

-- The handover that is kept short: the fence is in the past, then comes our hold, then a writer; so nobody
-- else holds, and no reader waits. A write comes first: a server that refuses writes does so before anybody
-- is told.
local gone = 0
local three = call('ZRANGEBYSCORE', key, '(-' .. now, '+inf', 'LIMIT', '0', '3')
if three[1] == 'f' and three[2] == holder and three[3] then
  local claim, channel, at, hold_id = string.match(three[3], '^([1-9]%d*) ([^ ]+) ()x[^ ]* ([^ ]+) ')
  local lease = tonumber(claim or 0)
  if lease >= 1 and lease <= 2592000000 then
    gone = call('ZREM', key, holder)
    local heard = redis.pcall('PUBLISH', channel, 'grant ' .. hold_id .. ' ' .. now .. ' ' .. claim .. ' ' .. now)
    if type(heard) == 'number' and heard > 0 then
      local ends = now_ms + lease
      local ends_part = ends % 1000000
      call('ZREM', key, three[3])
      call('ZADD', key, '-' .. now, 'f', string.format('%d%06d', (ends - ends_part) / 1000000, ends_part),
        string.sub(three[3], at))
      lease = lease + grace
      -- Twice as long as it takes, so that most of the handovers that follow need not do it again.
      if call('PTTL', key) < lease then call('PEXPIRE', key, string.format('%.0f', lease * 2)) end
      return {2, nonce}
    end
  end
end

--@include expiry
--@include holders
--@include handover
if gone == 0 and call('ZREM', key, holder) == 0 then return {0, nonce} end
--@include vacate
