-- SPDX-License-Identifier: MIT
-- A holder was taken out, or was gone already: the lock goes to whoever is next, or its key
-- lingers. `code` is what is answered when nobody is.
hand_over()
if longest > 0 then expire(longest + grace) end
if refusal then return refusal end
if more then return {7, nonce, now_us} end
if (code ~= 0 or portion < PORTION_MOST) and call('ZCOUNT', key, '(0', '+inf') == 0 then
  let_linger()
end
return {longest > 0 and code == 1 and 2 or code, nonce, now_us}
