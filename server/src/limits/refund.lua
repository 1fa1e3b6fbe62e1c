-- Returns one unit to each bucket. Implements decide_refund of domain/rate_limit.rs.
-- KEYS: the buckets. ARGV: their intervals, in microseconds. Returns the time.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for bucket, key in ipairs(KEYS) do
  local full_at = redis.call('GET', key)
  if full_at then
    full_at = tonumber(full_at) - tonumber(ARGV[bucket])
    if full_at > now then
      redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
    else
      redis.call('DEL', key)
    end
  end
end
return now
