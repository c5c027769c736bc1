package dev.datacrawl.internal.transport;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Where the service, or a sidecar, listens. */
public final class Target {
  /** Whether the connection uses TLS. */
  public final boolean isSecure;
  /** Without brackets; {@code localhost} for a Unix socket. */
  public final String host;
  public final int port;
  /** Null unless it is a Unix socket. */
  private final SocketAddress unixAddress;

  private Target(boolean isSecure, String host, int port, SocketAddress unixAddress) {
    this.isSecure = isSecure;
    this.host = host;
    this.port = port;
    this.unixAddress = unixAddress;
  }

  public static Target tcp(boolean isSecure, String host, int port) {
    return new Target(isSecure, host, port, null);
  }

  /** @throws UnsupportedOperationException before Java 16, which has no Unix sockets */
  public static Target unix(Path path) {
    try {
      // By reflection: this library is compiled for Java 11.
      Class<?> type = Class.forName("java.net.UnixDomainSocketAddress");
      Object address = type.getMethod("of", Path.class).invoke(null, path);
      return new Target(false, "localhost", 0, (SocketAddress) address);
    } catch (ClassNotFoundException | NoSuchMethodException | IllegalAccessException error) {
      throw new UnsupportedOperationException("Unix sockets need Java 16 or later", error);
    } catch (InvocationTargetException error) {
      throw new IllegalArgumentException(error.getCause());
    }
  }

  boolean isUnix() {
    return unixAddress != null;
  }

  /** What the requests say whom they are for. */
  String authority() {
    if (isUnix()) return host;
    return (host.indexOf(':') >= 0 ? "[" + host + "]" : host) + ":" + port;
  }

  /** The addresses to try, in order. May block for as long as the resolver does. */
  List<SocketAddress> resolve() throws IOException {
    if (isUnix()) return List.of(unixAddress);
    List<SocketAddress> addresses = new ArrayList<>();
    for (InetAddress address : InetAddress.getAllByName(host)) addresses.add(new InetSocketAddress(address, port));
    return addresses;
  }
}
