-- Takes a lock, or joins its queue.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member: "<mode> <hold id> <who>"
--       2  ttl ms      3  grace ms      4  nonce
--       5  waiter member: "<claim ms> <inbox channel> <holder member>", or "" (do not queue)
--
-- { 1, nonce, fence, lease left ms, now us}             granted, or was already
-- { 2, nonce, lease left ms, position, now us}          queued, or was already
-- { 0, nonce, lease left ms, waiters, now us}           held by another; not queued
-- { 3, nonce, 0, waiters, now us}                       the queue is full; not queued
-- {-1, nonce, 0, 0, 0}                                  an argument is out of range; nothing was done
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, waiter = argv[1], argv[5] or ''
local ttl, grace, nonce = tonumber(argv[2]), tonumber(argv[3]), tonumber(argv[4])
if not (ttl and ttl >= 1 and ttl <= 2592000000 and ttl % 1 == 0
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and holder:find('^x %S+ ')) then
  return {-1, nonce or 0, 0, 0, 0}
end
if waiter ~= '' then
  local claim, candidate = waiter:match('^([1-9]%d*) %S+ (.+)$')
  if candidate ~= holder or tonumber(claim) > 2592000000 then return {-1, nonce, 0, 0, 0} end
end

--@include clock
local low = call('ZRANGE', key, '0', '2', 'WITHSCORES')

-- Free, and nobody waits: the path that is kept short.
if not low[3] and (not low[1] or low[1] == 'f') then
  local fence = now_us
  if low[1] and -low[2] >= fence then fence = 1 - low[2] end
  call('ZADD', key, ('%.0f'):format(-fence), 'f', ('%.0f'):format(now_ms + ttl), holder)
  call('PEXPIRE', key, ('%.0f'):format(ttl + grace))
  return {1, nonce, fence, ttl, now_us}
end

--@include expiry
--@include holders
--@include handover

if low[1] ~= 'f' then return {err = 'WRONGTYPE The key holds a sorted set that is not a lock'} end
low = purge(low)
if low[3] == holder then return {1, nonce, -low[2], low[4] - now_ms, now_us} end

local left, refusal
if is_compatible(low) then
  low, left, refusal = hand_over(low, waiter)
  if refusal then return refusal end
  if not left and (not low[3] or low[3] == waiter) then
    local fence = math.max(1 - low[2], now_us)
    if low[3] then call('ZREM', key, waiter) end
    call('ZADD', key, decimal(-fence), 'f', decimal(now_ms + ttl), holder)
    expire(ttl + grace, low[5])
    return {1, nonce, fence, ttl, now_us}
  end
  -- More dead waiters than one call may drop: the lock is free, but the caller has to ask again.
  left = left or 0
else
  left = math.max(0, low[4] - now_ms)
end

local ahead = call('ZCOUNT', key, '-inf', '(100000000000000')
if waiter == '' then return {0, nonce, left, call('ZCARD', key) - ahead, now_us} end
local rank = call('ZRANK', key, waiter)
if not rank then
  rank = call('ZCARD', key)
  if rank - ahead >= 65536 then return {3, nonce, 0, rank - ahead, now_us} end
  -- A clock that stepped back lets nobody overtake.
  local last = call('ZRANGE', key, '-1', '-1', 'WITHSCORES')
  call('ZADD', key, decimal(math.max(now_us, last[2] + 1)), waiter)
  expire(left + grace, true)
end
return {2, nonce, left, rank - ahead + 1, now_us}
