import com.nimbusds.jose.proc.SecurityContext;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import org.springframework.security.oauth2.jwt.JwtDecoder;

/** Asks the recipe named by its argument for each line `verify TOKEN` of stdin, as a service would; answers with one line each. */
class Driver {
    interface Verifier {
        String subject(String token) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        String url = System.getenv("JWKS_URL");
        var keys = Tokens.keys(url, Long.parseLong(System.getenv("PROPAGATION_TIME")) * 1000);
        Verifier verifier;
        if (arguments[0].equals("nimbus")) {
            var processor = Tokens.verifier(keys);
            verifier = token -> processor.process(token, (SecurityContext) null).getSubject();
        } else {
            JwtDecoder decoder = Decoders.decoder(url, keys);
            verifier = token -> decoder.decode(token).getSubject();
        }
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            try {
                System.out.println("ok " + verifier.subject(line.split(" ")[1]));
            } catch (Exception refused) {
                System.out.println("refused " + String.valueOf(refused.getMessage()).replace('\n', ' '));
            }
        }
    }
}
