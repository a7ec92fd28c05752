-- SPDX-License-Identifier: MIT
-- The server's time: exact, far below 2^53. Most servers answer text, some integers.
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = (now_us - now_us % 1000) / 1000
