# Usage: python3 with_requests.py mail.crt https://schedule.example.com/events
#
# The header is the base64 of the certificate's DER, in one line. The file must
# begin with the certificate, so a private key is not sent instead.
import base64, pathlib, ssl, sys

import requests

file, url = sys.argv[1:]
certificate = ssl.PEM_cert_to_DER_cert(pathlib.Path(file).read_text())
session = requests.Session()
session.headers["X-SSL-Auth"] = base64.b64encode(certificate).decode()  # without decode the value would be b'MII…'
event = {"start_time": "2013-08-01T16:20:00+00:00", "end_time": "2013-08-01T18:20:00+00:00", "name": "Meeting"}

# A redirect would send the certificate to another server.
response = session.post(url, json={"event": event}, timeout=30, allow_redirects=False)
print(response.status_code, response.text, sep="\n")
sys.exit(response.status_code >= 300)
