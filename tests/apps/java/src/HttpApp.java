import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** The JDK's server to be observed. It prints what it answered, a line each. */
public final class HttpApp {
    private static final byte[] DOWNLOAD = new byte[8 << 20];

    private HttpApp() {}

    public static void main(String[] arguments) throws IOException {
        String[] address = arguments[0].split(":");
        InetSocketAddress place = new InetSocketAddress(address[0], Integer.parseInt(address[1]));
        HttpServer server = HttpServer.create(place, 1024);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", HttpApp::logged);
        server.start();
    }

    private static void logged(HttpExchange exchange) {
        String outcome;
        try (exchange) {
            outcome = Integer.toString(serve(exchange));
        } catch (IOException | InterruptedException gone) {
            outcome = "aborted";
        }
        String line = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath() + " " + outcome;
        System.out.println(line);
    }

    private static int serve(HttpExchange exchange) throws IOException, InterruptedException {
        switch (exchange.getRequestURI().getPath()) {
            case "/plain":
                return answer(exchange, 200, "plain\n".getBytes(StandardCharsets.UTF_8));
            case "/empty":
                return answer(exchange, 204, new byte[0]);
            case "/fresh":
                return answer(exchange, 304, new byte[0]);
            case "/broken":
                return answer(exchange, 503, new byte[0]);
            case "/echo":
                return answer(exchange, 200, exchange.getRequestBody().readAllBytes());
            case "/upload":
                String taken = exchange.getRequestBody().readAllBytes().length + "\n";
                return answer(exchange, 200, taken.getBytes(StandardCharsets.UTF_8));
            case "/download":
                return answer(exchange, 200, DOWNLOAD);
            case "/refuse":
                exchange.getResponseHeaders().set("Connection", "close");
                return answer(exchange, 413, "too large\n".getBytes(StandardCharsets.UTF_8));
            case "/stream":
                exchange.sendResponseHeaders(200, 0);
                write(exchange.getResponseBody(), "part", 3);
                return 200;
            case "/events":
                exchange.getResponseHeaders().set("Content-Type", "text/event-stream");
                exchange.sendResponseHeaders(200, 0);
                write(exchange.getResponseBody(), "data:", Integer.MAX_VALUE);
                return 200;
            default:
                return answer(exchange, 404, "not found\n".getBytes(StandardCharsets.UTF_8));
        }
    }

    private static int answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        boolean silent = body.length == 0 || exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, silent ? -1 : body.length);
        if (!silent) {
            exchange.getResponseBody().write(body);
        }
        return status;
    }

    /** Lines with pauses between them, each in a chunk of its own. */
    private static void write(OutputStream to, String what, int count)
            throws IOException, InterruptedException {
        for (int number = 0; number < count; number++) {
            to.write((what + " " + number + "\n\n").getBytes(StandardCharsets.UTF_8));
            to.flush();
            Thread.sleep(10);
        }
        to.close();
    }
}
