-- Sends the requests of a file, each ended by a zero byte: every thread those of its own place, again and again.
local threads = 0
function setup(thread)
   thread:set("place", threads)
   threads = threads + 1
end

local requests, at = {}, 0
function init(arguments)
   local step = tonumber(arguments[2])
   local file = assert(io.open(arguments[1], "rb"))
   local n = 0
   for request in file:read("*a"):gmatch("[^%z]+") do
      if n % step == place then requests[#requests + 1] = request end
      n = n + 1
   end
   file:close()
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format("FIGURES %d %d %d %d %d\n", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
