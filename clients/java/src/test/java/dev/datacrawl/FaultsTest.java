package dev.datacrawl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Services that are down, slow, silent, or something else: each call is denied in time, and nothing is left of it. */
@Timeout(240)
class FaultsTest {
  private static final AuthorizeRequest REQUEST = AuthorizeRequest.of("a.tool", Map.of("n", 1), "key");
  private static final Duration TIMEOUT = Duration.ofMillis(1200);
  /** How much later than its deadline a call may end on a machine under load. */
  private static final double SLACK_MS = 1000;
  private final List<AutoCloseable> toClose = new ArrayList<>();

  @AfterEach
  void close() throws Exception {
    for (AutoCloseable one : toClose) one.close();
  }

  interface Behaviour {
    void serve(Socket socket) throws IOException;
  }

  private final class Server implements AutoCloseable {
    final ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    final List<Socket> sockets = new CopyOnWriteArrayList<>();

    Server(Behaviour behaviour) throws IOException {
      toClose.add(this);
      Thread thread =
          new Thread(
              () -> {
                try {
                  while (true) {
                    Socket socket = listening.accept();
                    sockets.add(socket);
                    behaviour.serve(socket);
                  }
                } catch (IOException error) {
                  // It was closed.
                }
              });
      thread.setDaemon(true);
      thread.start();
    }

    String url() {
      return "http://127.0.0.1:" + listening.getLocalPort();
    }

    @Override
    public void close() throws IOException {
      listening.close();
      for (Socket socket : sockets) socket.close();
    }
  }

  private DataCrawl client(String url) {
    DataCrawl dc = DataCrawl.builder().url(url).apiKey(ScriptedService.KEY).timeout(TIMEOUT).build();
    toClose.add(0, dc);
    return dc;
  }

  private static Verdict deniedInTime(DataCrawl dc) {
    long startedAt = System.nanoTime();
    Verdict verdict = dc.authorize(REQUEST);
    double tookMs = (System.nanoTime() - startedAt) / 1e6;
    assertFalse(verdict.allowed(), verdict.toString());
    assertEquals(Source.GUARD, verdict.source());
    assertTrue(tookMs < TIMEOUT.toMillis() + SLACK_MS, tookMs + " ms");
    return verdict;
  }

  @Test
  void aServiceThatIsDownIsUnavailable() throws IOException {
    ServerSocket gone = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
    int port = gone.getLocalPort();
    gone.close();
    DataCrawl dc = client("http://127.0.0.1:" + port);
    assertEquals(Reason.SERVICE_UNAVAILABLE, deniedInTime(dc).reason());
    assertEquals(1, dc.circuit().consecutiveFailures());
  }

  @Test
  void aServiceThatNeverAnswersIsGivenUpAtTheDeadlineAndItsConnectionIsNotUsedAgain() throws IOException {
    Server silent = new Server(socket -> {});
    DataCrawl dc = client(silent.url());
    assertEquals(Reason.DEADLINE_EXCEEDED, deniedInTime(dc).reason());
    assertEquals(1, dc.circuit().consecutiveFailures());
    deniedInTime(dc);
    assertEquals(2, silent.sockets.size());
  }

  @Test
  void aPortThatDoesNotEvenAcceptIsGivenUpAtTheDeadline() throws IOException {
    ServerSocket full = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
    toClose.add(full);
    // The backlog is full when connecting does not succeed any more.
    List<Socket> waiting = new ArrayList<>();
    for (int index = 0; index < 3; index++) {
      Socket socket = new Socket();
      waiting.add(socket);
      try {
        socket.connect(full.getLocalSocketAddress(), 200);
      } catch (IOException error) {
        break;
      }
    }
    toClose.addAll(waiting);
    assertEquals(Reason.DEADLINE_EXCEEDED, deniedInTime(client("http://127.0.0.1:" + full.getLocalPort())).reason());
  }

  @Test
  void aPortThatSpeaksHttp1IsMalformed() throws IOException {
    Server http =
        new Server(
            socket -> {
              socket.getInputStream().read();
              write(socket, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            });
    Verdict verdict = deniedInTime(client(http.url()));
    assertEquals(Reason.MALFORMED_RESPONSE, verdict.reason(), verdict.toString());
    assertTrue(verdict.message().contains("check that the URL names a gRPC port"), verdict.message());
  }

  @Test
  void garbageIsDenied() throws IOException {
    Random random = new Random(7);
    Server garbage =
        new Server(
            socket -> {
              socket.getInputStream().read();
              byte[] bytes = new byte[1 + random.nextInt(2000)];
              random.nextBytes(bytes);
              write(socket, bytes);
            });
    DataCrawl dc = client(garbage.url());
    for (int round = 0; round < 5; round++) deniedInTime(dc);
  }

  @Test
  void aPortThatClosesAtOnceIsUnavailable() throws IOException {
    Server closing = new Server(Socket::close);
    assertEquals(Reason.SERVICE_UNAVAILABLE, deniedInTime(client(closing.url())).reason());
  }

  @Test
  void aNameThatDoesNotResolveIsUnavailable() {
    DataCrawl dc =
        DataCrawl.builder().url("https://datacrawl.invalid:7440").apiKey(ScriptedService.KEY).timeout(TIMEOUT).build();
    toClose.add(dc);
    assertFalse(deniedInTime(dc).allowed());
  }

  private static void write(Socket socket, byte[] bytes) throws IOException {
    OutputStream out = socket.getOutputStream();
    out.write(bytes);
    out.flush();
  }

  @Test
  void anInterruptedThreadIsDeniedAtOnceAndStaysInterrupted() throws Exception {
    Server silent = new Server(socket -> {});
    DataCrawl dc = DataCrawl.builder().url(silent.url()).apiKey(ScriptedService.KEY).timeout(Duration.ofMinutes(5)).build();
    toClose.add(0, dc);
    CompletableFuture<Verdict> ended = new CompletableFuture<>();
    CompletableFuture<Boolean> isInterrupted = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              Verdict verdict = dc.authorize(REQUEST);
              isInterrupted.complete(Thread.currentThread().isInterrupted());
              ended.complete(verdict);
            });
    thread.start();
    while (silent.sockets.isEmpty()) Thread.sleep(1);
    thread.interrupt();
    assertEquals(Reason.DEADLINE_EXCEEDED, ended.get().reason());
    assertTrue(isInterrupted.get());
    assertEquals(0, dc.circuit().consecutiveFailures());
    Thread.currentThread().interrupt();
    assertFalse(dc.authorize(REQUEST).allowed());
    assertTrue(Thread.interrupted());
  }

  @Test
  void noProxyIsAsked() throws Exception {
    Server proxy = new Server(socket -> {});
    Map<String, String> before = new java.util.HashMap<>();
    for (String name : Set.of("http.proxy", "https.proxy", "socksProxy", "grpc.proxy")) {
      before.put(name + "Host", System.setProperty(name + "Host", "127.0.0.1"));
      before.put(name + "Port", System.setProperty(name + "Port", String.valueOf(proxy.listening.getLocalPort())));
    }
    before.put("http.nonProxyHosts", System.setProperty("http.nonProxyHosts", ""));
    try (ScriptedService service = new ScriptedService();
        DataCrawl dc = service.client().build()) {
      assertTrue(dc.authorize(REQUEST).allowed());
      assertEquals(0, proxy.sockets.size());
    } finally {
      before.forEach(
          (name, value) -> {
            if (value == null) System.clearProperty(name);
            else System.setProperty(name, value);
          });
    }
  }

  @Test
  void closingDeniesWhatIsUnderWay() throws Exception {
    Server silent = new Server(socket -> {});
    DataCrawl dc = DataCrawl.builder().url(silent.url()).apiKey(ScriptedService.KEY).timeout(Duration.ofMinutes(5)).build();
    CompletableFuture<Verdict> asking = dc.authorizeAsync(REQUEST);
    CompletableFuture<Verdict> waiting = dc.waitForReviewAsync(ScriptedService.DECISION, Duration.ofDays(1));
    while (silent.sockets.size() < 2) Thread.sleep(1);
    dc.close();
    assertFalse(asking.get().allowed());
    assertFalse(waiting.get().allowed());
  }

  @Test
  void noThreadAndNoSocketIsLeftAfterClosing() throws Exception {
    try (ScriptedService service = new ScriptedService()) {
      Server silent = new Server(socket -> {});
      for (int round = 0; round < 3; round++) {
        DataCrawl asking = service.client().build();
        DataCrawl hanging = DataCrawl.builder().url(silent.url()).apiKey(ScriptedService.KEY).build();
        assertTrue(asking.authorizeAsync(REQUEST).get().allowed());
        CompletableFuture<Verdict> hung = hanging.authorizeAsync(REQUEST);
        while (silent.sockets.size() <= round) Thread.sleep(1);
        asking.close();
        hanging.close();
        assertFalse(hung.get().allowed());
        assertTrue(clientThreads().stream().noneMatch(name -> name.startsWith("datacrawl-io")), clientThreads().toString());
      }
      for (Socket socket : silent.sockets) {
        socket.setSoTimeout(10_000);
        // The client's preface and request, and then its end.
        socket.getInputStream().readAllBytes();
      }
      // A worker ends a second after its last task.
      long until = System.nanoTime() + 20_000_000_000L;
      while (!clientThreads().isEmpty() && System.nanoTime() < until) Thread.sleep(20);
      assertEquals(Set.of(), clientThreads());
    }
  }

  private static Set<String> clientThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .map(Thread::getName)
        .filter(name -> name.startsWith("datacrawl"))
        .collect(Collectors.toSet());
  }
}
