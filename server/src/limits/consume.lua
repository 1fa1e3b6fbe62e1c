-- Takes one unit from every bucket, or from none if one is empty. Implements decide_gcra of domain/rate_limit.rs.
-- KEYS: the buckets. ARGV: the interval and the span of each bucket, in microseconds.
-- Returns the refusing bucket (0: none), the wait, whether to audit the refusal (once a minute), and the time.
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
  -- Lua prints numbers with 14 digits by default, but a time in microseconds has 16.
  redis.call('SET', key, string.format('%.0f', taken[bucket]), 'PX', math.ceil((taken[bucket] - now) / 1000))
end
return { 0, 0, 0, now }
