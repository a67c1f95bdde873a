// Usage: java Client.java mail.crt https://schedule.example.com/events
//
// The header is the base64 of the certificate's DER, in one line. The file must
// begin with the certificate, so a private key is not sent instead.
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.security.cert.CertificateFactory;
import java.util.Base64;

class Client {
    static final String EVENT = "{\"event\":{\"start_time\":\"2013-08-01T16:20:00+00:00\","
        + "\"end_time\":\"2013-08-01T18:20:00+00:00\",\"name\":\"Meeting\"}}";

    public static void main(String[] args) throws Exception {
        byte[] certificate;
        try (var file = Files.newInputStream(Path.of(args[0]))) {
            certificate = CertificateFactory.getInstance("X.509").generateCertificate(file).getEncoded();
        }
        var request = HttpRequest.newBuilder(URI.create(args[1]))
            .header("X-SSL-Auth", Base64.getEncoder().encodeToString(certificate)) // the MIME encoder would break the lines
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(EVENT))
            .build();

        var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + "\n" + response.body());
        System.exit(response.statusCode() < 300 ? 0 : 1);
    }
}
