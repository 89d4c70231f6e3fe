-- One script for every row: makes the request from `name=value` arguments and prints what was
-- measured as one line that starts with RESULT.
--
-- The request is put together once, when wrk makes itself ready, and there is no global `request`: so
-- wrk sends constant bytes, and its core keeps up with the fastest servers.

local browser = {
   ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
   ["Accept-Encoding"] = "gzip, deflate, br, zstd",
   ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8",
   ["Cache-Control"] = "max-age=0",
   ["Cookie"] = "session=2f1b6c0e8d5a4b7f9c3e1d2a; theme=dark; consent=1; seen=1717171717",
   ["Referer"] = "http://127.0.0.1/products/list?page=3",
   ["Sec-Fetch-Dest"] = "document",
   ["Sec-Fetch-Mode"] = "navigate",
   ["Sec-Fetch-Site"] = "same-origin",
   ["Upgrade-Insecure-Requests"] = "1",
   ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
}

local make_ready = wrk.init

function wrk.init(args)
   local pipelined = 1
   for _, argument in ipairs(args) do
      local name, value = argument:match("^(%w+)=(%w+)$")
      if name == "body" then
         wrk.method = "POST"
         wrk.body = string.rep("x", tonumber(value))
         wrk.headers["Content-Type"] = "application/octet-stream"
      elseif name == "headers" then
         for key, text in pairs(browser) do wrk.headers[key] = text end
      elseif name == "pipelined" then
         pipelined = tonumber(value)
      end
   end
   make_ready(args)
   local bytes = string.rep(wrk.format(), pipelined)
   wrk.request = function() return bytes end
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      "RESULT requests=%d microseconds=%d bytes=%d status=%d connect=%d read=%d write=%d timeout=%d p50=%d p99=%d",
      summary.requests, summary.duration, summary.bytes, errors.status, errors.connect, errors.read,
      errors.write, errors.timeout, latency:percentile(50), latency:percentile(99)))
end
