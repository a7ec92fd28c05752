-- A holder was taken out: the lock goes to the next waiter, or its key lingers for the fence.
local low = call('ZRANGE', key, '0', '2', 'WITHSCORES')
if low[3] then
  --@include clock
  --@include expiry
  --@include holders
  --@include handover
  local lease, refusal
  low, lease, refusal = hand_over(purge(low))
  if refusal then return refusal end
  if lease then return {2, nonce} end
  if low[3] then return {1, nonce} end
end
if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
return {1, nonce}
