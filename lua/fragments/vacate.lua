-- SPDX-License-Identifier: MIT
-- A holder of the kind `gone` was taken out of `members` members: the lock goes to whoever is next, or its
-- key lingers for the fence.
if members > 2 then
  --@include now
  --@include expiry
  --@include holders
  --@include handover
  left = gone
  -- An exclusive holder had the lock alone; readers may be beside others whose lease is over.
  if gone == 's' then purge() end
  local _, longest, refusal = hand_over()
  -- Those who still wait ask again before the claim and its grace are over.
  if longest > 0 then expire(longest + grace, gone == 's') end
  if refusal then return refusal end
  if longest > 0 then return {2, nonce} end
  if call('ZCARD', key) > 1 then return {1, nonce} end
end
if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
return {1, nonce}
