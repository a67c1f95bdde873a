# Usage: ruby sign.rb mail.crt mail.key https://schedule.example.com/events [event.json]
#
# Sends GET, or POST with the file, signed with the certificate's key (RFC 9421, RFC 9530):
# a copy of the request is refused, and so is a changed one. The private key is not sent.
require "base64"
require "net/http"
require "openssl"
require "securerandom"

def signature(key, text)
  case key
  when OpenSSL::PKey::RSA
    key.sign_pss("SHA512", text, salt_length: 64, mgf1_hash: "SHA512")
  when OpenSSL::PKey::EC # P-256 with SHA256, P-384 with SHA384; r and s side by side
    bits = key.group.degree
    pair = OpenSSL::ASN1.decode(key.sign("SHA#{bits}", text)).value
    pair.map { |number| number.value.to_s(2).rjust(bits / 8, "\0") }.join
  else
    key.sign(nil, text) # Ed25519
  end
end

certificate_file, key_file, url, file = ARGV
certificate = OpenSSL::X509::Certificate.new(File.read(certificate_file))
key = OpenSSL::PKey.read(File.read(key_file))
fields = { "x-ssl-auth" => Base64.strict_encode64(certificate.to_der) } # encode64 would break the lines
if file
  body = File.binread(file)
  fields["content-digest"] = "sha-256=:#{OpenSSL::Digest::SHA256.base64digest(body)}:"
  fields["content-type"] = "application/json"
end
uri = URI(url)
request = (file ? Net::HTTP::Post : Net::HTTP::Get).new(uri, fields)
request.body = body

path, query = request.path.split("?", 2)
covered = {
  "@method" => request.method,
  "@authority" => request["Host"].downcase.sub(/:(80|443)\z/, ""),
  "@path" => path,
  "@query" => "?#{query}",
  **fields
}
names, now = covered.keys.map { |name| %("#{name}") }.join(" "), Time.now.to_i
keyid = OpenSSL::Digest::SHA256.hexdigest(certificate.public_key.public_to_der)
parameters = %[(#{names});created=#{now};expires=#{now + 60};nonce="#{SecureRandom.hex}";keyid="#{keyid}";tag="certgate"]
base = covered.map { |name, value| %("#{name}": #{value}\n) }.join + %("@signature-params": #{parameters})

request["Signature-Input"] = "sig1=#{parameters}"
request["Signature"] = "sig1=:#{Base64.strict_encode64(signature(key, base))}:"
response = Net::HTTP.start(uri.hostname, uri.port, use_ssl: uri.scheme == "https") { |http| http.request(request) }
puts response.code, response.body
exit response.is_a?(Net::HTTPSuccess)
