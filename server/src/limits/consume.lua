-- Takes one unit from each bucket, or none from any: decide_gcra of domain/rate_limit.rs, which see.
-- KEYS: the buckets. ARGV: for each its interval and its span, in microseconds.
-- Answers which bucket refuses (0: none), the wait for it, whether that is to be told (once a minute), the time.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local taken, refused, longest = {}, 0, 0
for bucket, key in ipairs(KEYS) do
  local interval, span = tonumber(ARGV[2 * bucket - 1]), tonumber(ARGV[2 * bucket])
  local full_at = tonumber(redis.call('GET', key) or now)
  full_at = math.min(math.max(full_at, now), now + span) + interval
  local wait = full_at - span - now
  if wait > longest then
    refused, longest = bucket, wait
  end
  taken[bucket] = full_at
end
if refused > 0 then
  local told = redis.call('SET', KEYS[refused] .. ':told', 1, 'EX', 60, 'NX')
  return { refused, longest, told and 1 or 0, now }
end
for bucket, key in ipairs(KEYS) do
  -- A number as Lua prints it has 14 digits, a time in microseconds has 16.
  redis.call('SET', key, string.format('%.0f', taken[bucket]), 'PX', math.ceil((taken[bucket] - now) / 1000))
end
return { 0, 0, 0, now }
