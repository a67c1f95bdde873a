# Usage: verify.rb JWKS_URL ISSUER AUDIENCE, then requests as JSON, one in each line of standard input
require "jwt"
require "net/http"

url, issuer, audience = ARGV
load_keys = ->(_options) { JSON.parse(Net::HTTP.get(URI(url)), symbolize_names: true) } # called for an unknown kid again

client_of = lambda do |request|
  raise "not one header line" unless request["assertions"].one?

  claims, header = JWT.decode(request["assertions"][0], nil, true, {
    algorithms: ["ES256"], jwks: load_keys, iss: issuer, verify_iss: true, aud: audience, verify_aud: true,
    required_claims: %w[sub iat exp], verify_iat: true, leeway: 5
  })
  raise "another type" unless header["typ"] == "certgate+jwt"
  raise "no client, or valid for too long" if claims["sub"].empty? || claims["exp"] - claims["iat"] > 60

  if request["bound"]
    digest = Base64.urlsafe_encode64(Digest::SHA256.digest(request["body"]), padding: false)
    same = claims.values_at("htm", "htu") == request.values_at("method", "target")
    raise "made for another request" unless same && claims.fetch("body_sha256", digest) == digest
  end
  claims["sub"]
end

$stdout.sync = true
$stdin.each_line do |line|
  puts "accepted #{client_of.call(JSON.parse(line))}"
rescue StandardError => e
  puts "refused #{e.class} #{e.message}"
end
