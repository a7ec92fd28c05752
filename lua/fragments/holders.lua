-- SPDX-License-Identifier: MIT
-- The bands of scores, from the lowest: "f1" with the fence, notes, buried hold ids, 0, exclusive
-- holders, shared holders, waiting readers, waiting writers.
local function is_layout()
  local first = call('ZRANGE', key, '0', '0')[1]
  return not first or first == 'f1'
end

local function last_fence()
  local score = call('ZSCORE', key, 'f1')
  return score and -score - FENCE_BAND or 0
end

-- The score of a fence.
local function at_fence(fence)
  return '-' .. decimal(fence + FENCE_BAND)
end

local function count_exclusive()
  return call('ZCOUNT', key, '(' .. decimal(now_ms), '(SHARED_BAND')
end

local function count_shared()
  return call('ZCOUNT', key, '(' .. decimal(now_ms + SHARED_BAND), '(READER_BAND')
end

-- What is left of a holder's lease, and its kind: 1 exclusive, 2 shared. Nothing is left of one
-- that is not there.
local function lease_of(holder)
  local score = tonumber(call('ZSCORE', key, holder) or 0)
  if score >= SHARED_BAND then return score - SHARED_BAND - now_ms, 2 end
  return score - now_ms, 1
end

-- The clients of expired holders may be frozen: their waiters go to the end of the line.
local function send_to_the_end(expired)
  local clients = {}
  for _, holder in ipairs(expired) do
    local client = string.match(holder, '^[^ ]+ ([^ ]+)%.[^ .]+ ')
    if client then clients[client] = true end
  end
  local waiters = call('ZRANGEBYSCORE', key, 'READER_BAND', '+inf', 'LIMIT', '0', 'PORTION_MOST')
  for _, waiter in ipairs(waiters) do
    local kind, client = string.match(waiter, '^[^ ]+ [^ ]+ ([xs])[^ ]* [^ ]+ ([^ ]+)%.[^ .]+ ')
    if client and clients[client] then
      call('ZADD', key, decimal(now_us + (kind == 'x' and WRITER_BAND or 0)), waiter)
    end
  end
end

-- Takes out what is over: all of it, since a clock that steps back would bring the rest to life
-- beside whoever enters now. Returns the kind of the holders: "x", "s", or nil.
local function purge()
  if call('ZCOUNT', key, '-' .. decimal(now_ms), '(0') > 0 then
    call('ZREMRANGEBYSCORE', key, '-' .. decimal(now_ms), '(0')
  end
  local kind
  local function take_out(from, to, what)
    if call('ZCOUNT', key, from, to) == 0 then return end
    local expired = call('ZRANGEBYSCORE', key, from, to, 'LIMIT', '0', 'PORTION_MOST')
    call('ZREMRANGEBYSCORE', key, from, to)
    send_to_the_end(expired)
    kind = kind or what
  end
  take_out('1', decimal(now_ms), 'x')
  take_out('SHARED_BAND', decimal(now_ms + SHARED_BAND), 's')
  return kind
end
