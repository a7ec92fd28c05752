-- Who is next? The waiter that came first, unless a holder is in its way.
local function next_waiter(low)
  return is_compatible(low) and low[3] or nil
end

-- Gives the lock to the next waiter that is alive. Every grant takes the waiter out before it adds the
-- holder: a server out of memory refuses ZADD only as the first write of a script.
--
-- Returns nil and the lease in ms when somebody has it now. Otherwise returns `low` afresh: nobody waits,
-- or `self` is next (it gets its grant by the answer), or 1000 dead waiters were dropped. A PUBLISH that is
-- refused (ACL) leaves its waiter in place and is returned third.
local function hand_over(low, self)
  for _ = 1, 1000 do
    local waiter = next_waiter(low)
    if not waiter or waiter == self then break end
    call('ZREM', key, waiter)
    local claim, channel, holder, hold_id = waiter:match('^([1-9]%d*) (%S+) (%S+ (%S+) .*)$')
    local lease = tonumber(claim)
    if lease and lease <= 2592000000 then
      local fence = decimal(math.max(1 - low[2], now_us))
      local message = 'grant ' .. hold_id .. ' ' .. fence .. ' ' .. claim .. ' ' .. decimal(now_us)
      local heard = redis.pcall('PUBLISH', channel, message)
      if type(heard) == 'table' then
        call('ZADD', key, low[4], waiter)
        return low, nil, heard
      end
      if heard > 0 then
        call('ZADD', key, '-' .. fence, 'f', decimal(now_ms + lease), holder)
        expire(lease + grace, low[5])
        return nil, lease
      end
    end
    low = call('ZRANGE', key, '0', '2', 'WITHSCORES')
  end
  return low
end
