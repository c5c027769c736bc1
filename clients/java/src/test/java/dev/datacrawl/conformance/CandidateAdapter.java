package dev.datacrawl.conformance;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import dev.datacrawl.Verdict;
import dev.datacrawl.authz.v1.AuthorizeRequest;
import dev.datacrawl.authz.v1.AuthorizeServiceGrpc;
import dev.datacrawl.authz.v1.Decision;
import dev.datacrawl.internal.call.AnswerReader;
import dev.datacrawl.internal.call.End;
import dev.datacrawl.internal.call.Expected;
import dev.datacrawl.internal.call.Ids;
import dev.datacrawl.internal.call.Question;
import dev.datacrawl.internal.call.Reply;
import io.grpc.CallOptions;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * The transports that the client does not use, as clients under test: docs/clients/java.md has the results.
 *
 * <ul>
 *   <li>{@code stub}: the generated stub on grpc-java; allows on an equality with DECISION_ALLOW
 *   <li>{@code grpc-java}: grpc-java, with the answer's bytes read as this client reads them
 *   <li>{@code jdk-http}: the JDK's HttpClient with the Connect protocol, read likewise
 * </ul>
 */
public final class CandidateAdapter {
  private static final Map<String, ManagedChannel> CHANNELS = new HashMap<>();
  private static final Map<String, HttpClient> HTTP_CLIENTS = new HashMap<>();
  private static final String METHOD = "datacrawl.authz.v1.AuthorizeService/Authorize";

  private CandidateAdapter() {}

  public static void main(String[] arguments) throws Exception {
    Lines.Client client =
        Map.<String, Lines.Client>of(
                "stub", CandidateAdapter::askStub,
                "grpc-java", CandidateAdapter::askGrpc,
                "jdk-http", CandidateAdapter::askHttp)
            .get(arguments[0]);
    Lines.warmUp(client);
    Lines.answer(client);
    CHANNELS.values().forEach(ManagedChannel::shutdownNow);
    System.exit(0);
  }

  private static ManagedChannel channel(JsonObject question) {
    URI url = URI.create(question.get("url").getAsString());
    return CHANNELS.computeIfAbsent(
        url.toString(),
        address -> {
          NettyChannelBuilder builder = NettyChannelBuilder.forAddress(url.getHost(), url.getPort());
          if (!url.getScheme().equals("https")) return builder.usePlaintext().build();
          try {
            File ca = new File(question.get("caFile").getAsString());
            return builder.sslContext(GrpcSslContexts.forClient().trustManager(ca).build()).build();
          } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
          }
        });
  }

  private static Metadata credential(JsonObject question) {
    Metadata metadata = new Metadata();
    metadata.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
        "Bearer " + question.get("apiKey").getAsString());
    return metadata;
  }

  private static Question questionOf(JsonObject question) throws Exception {
    String name = question.getAsJsonObject("payload").get("case").getAsString();
    return Question.of(
        dev.datacrawl.AuthorizeRequest.of(
            question.get("tool").getAsString(), Map.of("case", name), question.get("idempotencyKey").getAsString()),
        question.get("agentId").getAsString());
  }

  private static AuthorizeRequest message(Question question, byte[] nonce) {
    return AuthorizeRequest.newBuilder()
        .setTool(question.tool)
        .setPayload(question.struct())
        .setIdempotencyKey(question.idempotencyKey)
        .setNonce(ByteString.copyFrom(nonce))
        .build();
  }

  private static Lines.Answer askStub(JsonObject question) throws Exception {
    var response =
        AuthorizeServiceGrpc.newBlockingStub(channel(question))
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(credential(question)))
            .withDeadlineAfter(question.get("deadlineMs").getAsLong(), TimeUnit.MILLISECONDS)
            .authorize(message(questionOf(question), Ids.nonce()));
    boolean isReview = response.getDecision() == Decision.DECISION_NEEDS_REVIEW;
    boolean isAllow = response.getDecision() == Decision.DECISION_ALLOW;
    return new Lines.Answer(isAllow ? "allow" : isReview ? "needs_review" : "deny", null, "");
  }

  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
          }
        }
      };

  private static Lines.Answer askGrpc(JsonObject asked) throws Exception {
    Question question = questionOf(asked);
    byte[] nonce = Ids.nonce();
    MethodDescriptor<byte[], byte[]> method =
        MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName(METHOD)
            .setRequestMarshaller(BYTES)
            .setResponseMarshaller(BYTES)
            .build();
    byte[] answer =
        ClientCalls.blockingUnaryCall(
            ClientInterceptors.intercept(
                channel(asked), MetadataUtils.newAttachHeadersInterceptor(credential(asked))),
            method,
            CallOptions.DEFAULT.withDeadlineAfter(asked.get("deadlineMs").getAsLong(), TimeUnit.MILLISECONDS),
            message(question, nonce).toByteArray());
    return read(answer, asked, question, nonce);
  }

  private static Lines.Answer read(byte[] answer, JsonObject asked, Question question, byte[] nonce) {
    String agentId = asked.get("agentId").getAsString();
    Expected expected = Expected.question(agentId, nonce, question, false);
    End<Verdict> end = AnswerReader.read(Reply.of(List.of(answer)), expected);
    return new Lines.Answer(end.answer == null ? "deny" : end.answer.decision().toString(), null, end.problem);
  }

  private static Lines.Answer askHttp(JsonObject asked) throws Exception {
    Question question = questionOf(asked);
    byte[] nonce = Ids.nonce();
    Duration timeout = Duration.ofMillis(asked.get("deadlineMs").getAsLong());
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(asked.get("url").getAsString() + "/" + METHOD))
            .timeout(timeout)
            .header("content-type", "application/proto")
            .header("connect-protocol-version", "1")
            .header("connect-timeout-ms", String.valueOf(timeout.toMillis()))
            .header("authorization", "Bearer " + asked.get("apiKey").getAsString())
            .POST(HttpRequest.BodyPublishers.ofByteArray(message(question, nonce).toByteArray()))
            .build();
    // The request's own timeout ends with the headers; the body may take for ever.
    HttpResponse<byte[]> response =
        httpClient(asked)
            .sendAsync(request, HttpResponse.BodyHandlers.ofByteArray())
            .get(timeout.toMillis(), TimeUnit.MILLISECONDS);
    boolean isProto = response.headers().allValues("content-type").equals(List.of("application/proto"));
    boolean isPlain = response.headers().allValues("content-encoding").stream().allMatch("identity"::equals);
    boolean isWhole =
        response.headers().allValues("content-length").size() == 1
            || response.headers().allValues("transfer-encoding").equals(List.of("chunked"));
    if (response.statusCode() != 200 || !isProto || !isPlain || !isWhole)
      return new Lines.Answer("deny", null, "HTTP " + response.statusCode());
    return read(response.body(), asked, question, nonce);
  }

  private static HttpClient httpClient(JsonObject question) throws Exception {
    HttpClient known = HTTP_CLIENTS.get(question.get("url").getAsString());
    if (known != null) return known;
    KeyStore authorities = KeyStore.getInstance(KeyStore.getDefaultType());
    authorities.load(null, null);
    try (InputStream pem = new FileInputStream(question.get("caFile").getAsString())) {
      for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(pem))
        authorities.setCertificateEntry("authority", one);
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(authorities);
    SSLContext tls = SSLContext.getInstance("TLS");
    tls.init(null, trust.getTrustManagers(), null);
    HttpClient made = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).sslContext(tls).build();
    HTTP_CLIENTS.put(question.get("url").getAsString(), made);
    return made;
  }
}
