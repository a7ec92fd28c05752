-- SPDX-License-Identifier: MIT
-- Who is next, by the policies of docs/protocol.md. The caller may set what kind of holder left
-- last, whether a batch of readers is being let in already, the lease of `self`, and a fence that a
-- new one shall not be below.
local left, batch, self_lease, least_fence = 'x', false, 0, 0
local fence, granted, longest, inside, refusal, barred_until = nil, nil, 0, 0, nil, nil

-- Nobody holds the lock, and both wait: it is the writer's policy that counts. Fair: after a batch
-- of readers a writer; after a writer whoever came first, so that nobody sits out more than two
-- batches.
local function reader_goes_first(reader, writer)
  if writer.policy ~= 'f' or left ~= 'x' then return writer.policy == '' end
  return tonumber(call('ZSCORE', key, reader.member))
    < tonumber(call('ZSCORE', key, writer.member)) - WRITER_BAND
end

-- May it go on keeping others out? One that lives asks again before its claim is over, which takes
-- the note away; one that does not is frozen, and leaves the line until it asks.
local function may_bar(waiter)
  if waiter.member == self then return true end
  local note = note_of(waiter)
  local score = call('ZSCORE', key, note)
  local ends = score and -score - NOTE_BAND or now_ms + waiter.claim
  if ends <= now_ms then
    drop({waiter})
    portion = portion - 1
    return false
  end
  if not score then
    -- ZREM comes first, for a server out of memory refuses ZADD only as the first write of a
    -- script.
    call('ZREM', key, '')
    call('ZADD', key, '-' .. decimal(ends + NOTE_BAND), note)
  end
  barred_until = ends
  return true
end

-- Tells a waiter that it has the lock. Receivers of the message, or nil and the refusal when
-- PUBLISH itself is refused (ACL). A write comes first, if only of nothing: a server that refuses
-- writes does so before anybody is told.
local has_written = false
local function tell(waiter, mint)
  if not has_written then call('ZREM', key, '') end
  has_written = true
  local is_sharded = string.find(waiter.channel, '{', 1, true)
  local message =
    table.concat({'grant', mint, decimal(waiter.claim), clock, waiter.holder, key}, ' ')
  local heard = redis.pcall(is_sharded and 'SPUBLISH' or 'PUBLISH', waiter.channel, message)
  if type(heard) == 'number' then return heard end
  refusal = {err = 'NOPERM The next waiter cannot be told: ' .. heard.err}
end

local function mint_fence()
  local least = least_fence <= now_us + FENCE_AHEAD_MOST and least_fence or 0
  return math.max(last_fence() + 1, now_us, least)
end

-- Makes a holder of a waiter. The waiter is taken out before the holder is added, for a server out
-- of memory refuses ZADD only as the first write of a script. Who enters a free lock has a new
-- fence; who enters beside others has theirs. Who waits by two channels may be inside already: a
-- lease is never shortened. False for a dead one: where the server does not tell who listens, only
-- the message shows it.
local function admit(waiter, is_free)
  local minted = is_free and mint_fence() or fence
  local mint = minted == now_us and clock or decimal(minted)
  local lease, heard = waiter.claim, 1
  if waiter.member == self then
    lease, granted = self_lease, minted
  else
    heard = tell(waiter, mint)
    if refusal then return false end
  end
  drop({waiter})
  portion = portion - 1
  if heard == 0 then return false end
  fence = minted
  local ends = decimal(now_ms + lease + (waiter.kind == 's' and SHARED_BAND or 0))
  local added = 1
  if is_free then call('ZADD', key, at_fence(fence), 'f1', ends, waiter.holder)
  else added = call('ZADD', key, 'GT', ends, waiter.holder) end
  longest, inside = math.max(longest, lease), inside + added
  return true
end

-- Others of the same owner that wait for the same kind enter beside it: they would wait for
-- themselves.
local function admit_mates(waiter, line)
  if waiter.owner == '-' then return end
  local members = call('ZRANGEBYSCORE', key, line.from, line.to, 'LIMIT', '0', 'PORTION_MOST')
  local mates = {}
  for _, member in ipairs(members) do
    local mate = read_waiter(member)
    if mate and mate.owner == waiter.owner then mates[#mates + 1] = member end
  end
  for first = 1, #mates, PAGE_SIZE_MOST do
    for _, mate in ipairs(living({unpack(mates, first,
        math.min(first + PAGE_SIZE_MOST - 1, #mates))})) do
      admit(mate, false)
      if refusal then return end
    end
  end
end

local function hand_to(waiter, line, is_free)
  line.at = line.at + 1
  if not admit(waiter, is_free) then return false end
  if waiter.owner ~= '-' then
    admit_mates(waiter, line)
    line.page = {}
  end
  return true
end

-- True: the reader may enter. False: it may not, nor may who is behind it. Nil: what kept it out is
-- gone; look again.
local function may_join(reader, writer)
  if reader.limit and inside >= reader.limit then
    local has_others = call('ZCOUNT', key, 'READER_BAND', '(WRITER_BAND') > 1
    if has_others and not may_bar(reader) then return nil end
    return false
  end
  if not writer or inside == 0 or batch or reader.policy == '' then return true end
  if not may_bar(writer) then return nil end
  return false
end

-- Lets in whoever may enter: one writer (and its owner's others), or readers one after the other;
-- PORTION_MOST at the most, the dead ones counted. Sets the longest lease that was given, whether
-- more are left, and a refusal.
local function hand_over()
  if count_exclusive() > 0 then return end
  local readers, writers = open_line('READER_BAND', '(WRITER_BAND'),
    open_line('WRITER_BAND', '+inf')
  inside, fence = count_shared(), last_fence()
  while not refusal do
    local writer, reader = head_of(writers), head_of(readers)
    if more or not (writer or reader) then return end
    local is_free = inside == 0
    if is_free and writer and not (reader and reader_goes_first(reader, writer)) then
      if hand_to(writer, writers, true) then return end
    elseif not reader then
      return
    else
      local may = may_join(reader, writer)
      if may == false then return end
      if may == nil then
        readers, writers = open_line(readers.from, readers.to), open_line(writers.from, writers.to)
      elseif hand_to(reader, readers, is_free) then
        batch = batch or is_free
      end
    end
  end
end
