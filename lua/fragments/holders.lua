-- SPDX-License-Identifier: MIT
-- The bands of scores (docs/protocol.md): "f" < 0 < exclusive holders < 2e13 <= shared holders < 1e14
-- <= waiting readers < 4e15 <= waiting writers.
local function last_fence()
  return -(call('ZSCORE', key, 'f') or 0)
end

local function count_exclusive()
  return call('ZCOUNT', key, '(' .. decimal(now_ms), '(20000000000000')
end

local function count_shared()
  return call('ZCOUNT', key, '(' .. decimal(now_ms + 20000000000000), '(100000000000000')
end

-- When the lease of a holder of this kind ends, 0 if it is not there. One that is not above now_ms is over.
local function end_of(holder, kind)
  return (call('ZSCORE', key, holder) or 0) - (kind == 's' and 20000000000000 or 0)
end

-- Takes out holders whose lease is over, at most 1000 of each kind. Returns the kind of those: "x", "s", or nil.
local function purge()
  local expired = call('ZCOUNT', key, '1', decimal(now_ms))
  if expired > 0 then call('ZREMRANGEBYRANK', key, '1', decimal(math.min(expired, 1000))) end
  local readers = call('ZCOUNT', key, '20000000000000', decimal(now_ms + 20000000000000))
  if readers > 0 then
    local first = call('ZCOUNT', key, '-inf', '(20000000000000')
    call('ZREMRANGEBYRANK', key, decimal(first), decimal(first + math.min(readers, 1000) - 1))
  end
  return expired > 0 and 'x' or readers > 0 and 's' or nil
end
