-- SPDX-License-Identifier: MIT
-- The bands of scores (docs/protocol.md): "f" < 0 < exclusive holders < 2e13 <= shared holders < 1e14
-- <= waiting readers < 4e15 <= waiting writers.
local low, fence

-- Looks at the two lowest members; the score of the second one, or nil when "f" is alone.
local function look()
  low = call('ZRANGE', key, '0', '1', 'WITHSCORES')
  fence = low[1] and -low[2]
  return low[4] and tonumber(low[4])
end

local function count_exclusive()
  return call('ZCOUNT', key, '(' .. decimal(now_ms), '(20000000000000')
end

local function count_shared()
  return call('ZCOUNT', key, '(' .. decimal(now_ms + 20000000000000), '(100000000000000')
end

-- Takes out holders whose lease is over, at most 1000. Returns the kind of those: "x", "s", or nil.
local function purge()
  local expired = call('ZREMRANGEBYSCORE', key, '1', decimal(now_ms))
  if expired > 0 then return 'x' end
  expired = call('ZCOUNT', key, '20000000000000', decimal(now_ms + 20000000000000))
  if expired == 0 then return nil end
  local first = call('ZCOUNT', key, '-inf', '(20000000000000')
  call('ZREMRANGEBYRANK', key, decimal(first), decimal(first + math.min(expired, 1000) - 1))
  return 's'
end
