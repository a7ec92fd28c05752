-- SPDX-License-Identifier: MIT
-- The digits of the clock plus 4e15: the score of a fence that is minted now, without its sign, and
-- that of a writer that comes now. TIME gives no leading zeros. Seconds begin with 1 until 2033,
-- and a digit is replaced faster than a sum is written.
local micros, digits = time[2] .. '', nil
if #micros < 6 then micros = string.sub('00000' .. micros, -6) end
if string.byte(time[1]) == 49 then digits = '5' .. string.sub(time[1], 2) .. micros
else digits = time[1] + 4000000000 .. micros end
