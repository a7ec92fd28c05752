-- `low` is ZRANGE key 0 2 WITHSCORES: "f", then the first two of holders and waiters in this order.

-- Takes out holders whose lease is over, at most 1000, and looks again.
local function purge(low)
  if not low[3] or tonumber(low[4]) > now_ms then return low end
  local expired = call('ZCOUNT', key, '1', decimal(now_ms))
  call('ZREMRANGEBYRANK', key, '1', decimal(math.min(expired, 1000)))
  return call('ZRANGE', key, '0', '2', 'WITHSCORES')
end

-- Is no holder in the way of another one?
local function is_compatible(low)
  return not low[3] or tonumber(low[4]) >= 100000000000000
end
