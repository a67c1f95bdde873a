<?php
// Usage: php streams.php mail.crt https://schedule.example.com/events
//
// The header is the base64 of the certificate's PEM, in one line. openssl reads
// only the certificate from the file, so a private key in it is not sent.
[, $file, $url] = $argv;
openssl_x509_export(file_get_contents($file), $certificate) or throw new Exception("want a certificate in $file");
$event = ['start_time' => '2013-08-01T16:20:00+00:00', 'end_time' => '2013-08-01T18:20:00+00:00', 'name' => 'Meeting'];

$body = file_get_contents($url, false, stream_context_create(['http' => [
    'method' => 'POST',
    'header' => ['X-SSL-Auth: ' . base64_encode($certificate), 'Content-Type: application/json'],
    'content' => json_encode(['event' => $event]),
    'follow_location' => 0, // a redirect would send the certificate to another server
    'ignore_errors' => true, // a refusal has the reason in its body
]]));
$status = (int) explode(' ', $http_response_header[0] ?? '')[1];
echo "$status\n$body\n";
exit($status >= 200 && $status < 300 ? 0 : 1);
