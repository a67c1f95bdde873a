# Usage: python3 with_urllib.py mail.crt https://schedule.example.com/events
#
# The header is the base64 of the certificate's DER, in one line. The file must
# begin with the certificate, so a private key is not sent instead.
import base64, json, pathlib, ssl, sys, urllib.error, urllib.request

file, url = sys.argv[1:]
certificate = ssl.PEM_cert_to_DER_cert(pathlib.Path(file).read_text())
event = {"start_time": "2013-08-01T16:20:00+00:00", "end_time": "2013-08-01T18:20:00+00:00", "name": "Meeting"}
request = urllib.request.Request(url, json.dumps({"event": event}).encode(), {
    "X-SSL-Auth": base64.b64encode(certificate).decode(),  # without decode the value would be b'MII…'
    "Content-Type": "application/json",
})


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):  # a redirect would send the certificate to another server
        return None


try:
    response = urllib.request.build_opener(NoRedirect).open(request)
except urllib.error.HTTPError as refusal:
    response = refusal
print(response.status, response.read().decode(), sep="\n")
sys.exit(response.status >= 300)
