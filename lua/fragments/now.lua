-- SPDX-License-Identifier: MIT
-- The server's time as digits (TIME gives no leading zeros) and as numbers: both are exact, far below 2^53.
local time = call('TIME')
local seconds, micros = time[1], time[2]
if #micros < 6 then micros = string.sub('00000' .. micros, -6) end
local now_us = seconds * 1000000 + micros
local now_ms = (now_us - now_us % 1000) / 1000
