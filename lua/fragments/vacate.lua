-- SPDX-License-Identifier: MIT
-- A holder was taken out while others were there: the lock goes to whoever is next, or its key lingers for
-- the fence.
left = string.sub(holder, 1, 1)
purge()
local longest, refusal = hand_over()
if longest > 0 then expire(longest + grace) end
if refusal then return refusal end
if longest > 0 then return {2, nonce} end
if call('ZCARD', key) > 1 then return {1, nonce} end
if linger == '0' then call('DEL', key) else call('PEXPIRE', key, linger) end
return {1, nonce}
