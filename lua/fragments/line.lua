-- SPDX-License-Identifier: MIT
-- Those who wait, and whether anybody hears them.
--
-- A waiter's member is "<claim ms> <inbox channel> <mode> <owner> <hold id> <who>"; the last three
-- are the holder that it will become.

-- How many are subscribed to each of the channels, asked at once; nil where the server does not say
-- (ACL). A channel with a hash tag is one of a shard.
local function subscribers(channels)
  local counts, plain, sharded = {}, {'PUBSUB', 'NUMSUB'}, {'PUBSUB', 'SHARDNUMSUB'}
  for _, channel in ipairs(channels) do
    local words = string.find(channel, '{', 1, true) and sharded or plain
    words[#words + 1] = channel
  end
  for _, words in ipairs({plain, sharded}) do
    local told = #words > 2 and redis.pcall(unpack(words)) or {}
    for i = 1, told.err and 0 or #told, 2 do counts[told[i]] = tonumber(told[i + 1]) end
  end
  return counts
end

local function is_heard(channel) return subscribers({channel})[channel] ~= 0 end

-- A waiter's fields, or nil when it is none of ours: then it is dropped.
local function read_waiter(member)
  local claim, channel, kind, policy, limit, at, owner, hold_id =
    string.match(member, '^([1-9]%d*) ([^ ]+) ([xs])([fw]?)/?(%d*) ()([^ ]+) ([^ ]+) ')
  if not claim or tonumber(claim) > SPAN_MOST then return nil end
  return {member = member, claim = tonumber(claim), channel = channel, kind = kind, policy = policy,
    limit = tonumber(limit), holder = string.sub(member, at), owner = owner, hold_id = hold_id}
end

local function note_of(waiter) return '?' .. waiter.hold_id end

-- What a call may still do before it says that more are left; and the waiter that asks: it is told
-- by the answer.
local portion, more, self = PORTION_MOST, false, nil

-- Takes waiters, and the notes about them, out of the line.
local function drop(waiters)
  local words = {'ZREM', key}
  for _, waiter in ipairs(waiters) do
    words[#words + 1] = waiter.member
    if waiter.hold_id then words[#words + 1] = note_of(waiter) end
  end
  if #words > 2 then call(unpack(words)) end
end

-- Those of the members that can be told; the others are dropped.
local function living(members)
  local all, channels, alive, dead = {}, {}, {}, {}
  for i, member in ipairs(members) do
    all[i] = read_waiter(member) or {member = member}
    if all[i].channel and member ~= self then channels[#channels + 1] = all[i].channel end
  end
  local counts = subscribers(channels)
  for _, waiter in ipairs(all) do
    local is_dead = not waiter.channel or waiter.member ~= self and counts[waiter.channel] == 0
    local to = is_dead and dead or alive
    to[#to + 1] = waiter
  end
  drop(dead)
  portion = portion - #dead
  return alive
end

-- One band of the line, read from its head in pages. Whoever is taken from a page is out of the
-- line, or ends it.
local function open_line(from, to)
  return {from = from, to = to, page = {}, at = 1, size = '1', is_empty = false}
end

-- The first that lives, or nil: there is none, or the portion is used up.
local function head_of(line)
  while not (line.page[line.at] or line.is_empty) do
    if portion <= 0 then
      more = true
      return nil
    end
    local members = call('ZRANGEBYSCORE', key, line.from, line.to, 'LIMIT', '0', line.size)
    line.page, line.at, line.size, line.is_empty =
      living(members), 1, 'PAGE_SIZE_MOST', #members == 0
  end
  return line.page[line.at]
end
