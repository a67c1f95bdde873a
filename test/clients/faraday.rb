# Usage: ruby faraday.rb mail.crt https://schedule.example.com/events
#
# The header is the base64 of the certificate's DER, in one line. OpenSSL reads
# only the certificate from the file, so a private key in it is not sent.
require "base64"
require "faraday"
require "json"
require "openssl"

file, url = ARGV
certificate = OpenSSL::X509::Certificate.new(File.read(file))
connection = Faraday.new(headers: {
  "X-SSL-Auth" => Base64.strict_encode64(certificate.to_der), # encode64 would break the lines
  "Content-Type" => "application/json"
})
event = { start_time: "2013-08-01T16:20:00+00:00", end_time: "2013-08-01T18:20:00+00:00", name: "Meeting" }

response = connection.post(url, { event: event }.to_json)
puts response.status, response.body
exit response.success?
