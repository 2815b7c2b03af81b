// Reads Logstash pipelines by Logstash's own grammar, and prints their plugins and options, one a line: section,
// plugin, option, value, with tabs between them. A file that is none fails with the line and column.
package main

import (
	"fmt"
	"os"

	config "github.com/breml/logstash-config"
	"github.com/breml/logstash-config/ast"
)

func main() {
	for _, path := range os.Args[1:] {
		parsed, err := config.ParseFile(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(1)
		}
		pipeline := parsed.(ast.Config)
		for _, sections := range [][]ast.PluginSection{pipeline.Input, pipeline.Filter, pipeline.Output} {
			for _, section := range sections {
				show(section.PluginType.String(), section.BranchOrPlugins)
			}
		}
	}
}

func show(section string, nodes []ast.BranchOrPlugin) {
	for _, node := range nodes {
		switch node := node.(type) {
		case ast.Plugin:
			for _, attribute := range node.Attributes {
				fmt.Printf("%s\t%s\t%s\t%q\n", section, node.Name(), attribute.Name(), attribute.ValueString())
			}
		case ast.Branch:
			show(section, node.IfBlock.Block)
			for _, other := range node.ElseIfBlock {
				show(section, other.Block)
			}
			show(section, node.ElseBlock.Block)
		}
	}
}
