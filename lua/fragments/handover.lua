-- SPDX-License-Identifier: MIT
-- What kind of holder left last; and whether this call has begun to let a batch of readers in.
local left, batch = 'x', false

local function first_of(from, to)
  return call('ZRANGEBYSCORE', key, from, to, 'LIMIT', '0', '1')[1]
end

-- A member's policy ("", "f" or "w") and limit ("" or the number of permits).
local function terms(waiter)
  return string.match(waiter, '^%d+ %S+ [xs](%a?)/?(%d*)')
end

-- Does a reader go before a writer, when nobody holds the lock and both wait?
local function reader_goes_first(writer)
  local policy = terms(writer)
  return policy == '' or policy == 'f' and left == 'x'
end

local function reader_may_join(reader, writer)
  local policy, limit = terms(reader)
  if limit ~= '' and count_shared() >= tonumber(limit) then return false end
  return not writer or batch or policy == ''
end

-- Who is next? The first waiter that may enter beside those who hold the lock, by the policies of
-- docs/modes.md; nil when there is none.
local function next_waiter()
  local score = look()
  if not score then return nil end
  -- Only writers wait, and nobody holds: the usual case of an exclusive lock.
  if score >= 4000000000000000 then return low[3] end
  if score < 20000000000000 and count_exclusive() > 0 then return nil end
  local reader = first_of('100000000000000', '(4000000000000000')
  local writer = first_of('4000000000000000', '+inf')
  local is_free = score >= 100000000000000 or count_shared() == 0
  if is_free and writer and not (reader and reader_goes_first(writer)) then return writer end
  if reader and is_free then
    batch = true
    return reader
  end
  if reader and reader_may_join(reader, writer) then return reader end
end

-- Makes a holder of the waiter, if it still listens. The waiter is taken out before the holder is added,
-- for a server out of memory refuses ZADD only as the first write of a script. Returns the lease, 0 for a
-- dead waiter (it is dropped), or nil and the refusal when PUBLISH itself is refused (ACL).
local function admit(waiter)
  local claim, channel, holder, kind, hold_id = string.match(waiter, '^([1-9]%d*) (%S+) (([xs])%S* (%S+) .*)$')
  local lease = tonumber(claim or 0)
  if lease < 1 or lease > 2592000000 then return 0, nil, call('ZREM', key, waiter) end
  local minted, ends = fence, now_ms + lease
  if kind == 'x' then minted = math.max(fence + 1, now_us) else ends = ends + 20000000000000 end
  local mint = decimal(minted)
  local heard = redis.pcall('PUBLISH', channel,
    'grant ' .. hold_id .. ' ' .. mint .. ' ' .. claim .. ' ' .. decimal(now_us))
  if type(heard) == 'table' then
    return nil, {err = 'NOPERM The next waiter cannot be told: ' .. heard.err}
  end
  call('ZREM', key, waiter)
  if heard == 0 then return 0 end
  call('ZADD', key, '-' .. mint, 'f', decimal(ends), holder)
  return lease
end

-- Lets in whoever may enter: one writer, or readers one after the other, at most 1000 (the dead ones
-- counted). Stops at `self`, whose grant is the answer, and returns it. The longest claim is returned second,
-- a refusal third.
local function hand_over(self)
  local longest = 0
  for _ = 1, 1000 do
    local waiter = next_waiter()
    if not waiter or waiter == self then return waiter, longest end
    local lease, refusal = admit(waiter)
    if refusal then return nil, longest, refusal end
    longest = math.max(longest, lease)
    if lease > 0 and string.find(waiter, '^%d+ %S+ x') then return nil, longest end
  end
  return nil, longest
end
