import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * A single node of Elasticsearch on loopback, out of the jars of Maven Central, where its own launcher is not.
 * Arguments: the directory that holds modules/, the node's own directory, the ports for HTTP and for transport.
 */
public class Server {
  public static void main(String[] arguments) throws Exception {
    Path directory = Path.of(arguments[1]).toAbsolutePath();
    Path config = Files.createDirectories(directory.resolve("config"));
    Settings settings = Settings.builder()
        .put("path.home", Path.of(arguments[0]).toAbsolutePath())
        .put("path.data", directory.resolve("data"))
        .put("path.logs", directory.resolve("logs"))
        .put("cluster.name", "testbed")
        .put("node.name", "testbed")
        .put("network.host", "127.0.0.1")
        .put("http.port", arguments[2])
        .put("transport.port", arguments[3])
        .put("discovery.type", "single-node")
        // A disk that is nearly full is no reason to refuse a test's few documents.
        .put("cluster.routing.allocation.disk.threshold_enabled", false)
        .build();
    LogConfigurator.configureESLogging();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "testbed");
    LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "INFO").build());
    PluginsLoader loader = PluginsLoader.createPluginsLoader(
        PluginsLoader.loadModulesBundles(environment.modulesDir()), Set.of(), Map.of(), false);
    Node node = new Node(environment, loader);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node)));
    node.start();
    System.out.println("READY");
    Thread.currentThread().join();
  }

  private static void close(Node node) {
    try {
      node.close();
    } catch (Exception failure) {
      failure.printStackTrace();
    }
  }
}
