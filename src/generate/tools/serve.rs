//! The tools as a Model Context Protocol server over standard input and output, for any agent that speaks it.

use std::sync::Arc;

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Toolbox, definitions};
use crate::generate::request::{ToolCall, ToolDef};
use crate::suite::prompts::TOOL_NAMES;

/// The longest message that is read; no call of these tools comes near it.
const MAX_MESSAGE: usize = 1 << 20;

/// What the tools are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// `list_models`, `fetch_source_columns`.
    #[default]
    Own,
    /// As the nearest tools of dbt's own server are called: `list`, `get_node_details_dev`.
    Dbt,
}

impl Names {
    fn of(self, own: &'static str) -> &'static str {
        match (self, own) {
            (Self::Dbt, "list_models") => "list",
            (Self::Dbt, "fetch_source_columns") => "get_node_details_dev",
            (_, own) => own,
        }
    }
}

/// Serves until the client closes the input.
///
/// # Errors
/// Why the conversation could not begin or broke off.
pub async fn serve<R, W>(toolbox: Toolbox, names: Names, input: R, output: W) -> Result<(), String>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let wanted = TOOL_NAMES.map(str::to_owned);
    let server = Server { toolbox, names, tools: definitions(&wanted) };
    let transport = AsyncRwTransport::new(input, output).with_max_line_length(MAX_MESSAGE);
    let running = server.serve(transport).await.map_err(|error| error.to_string())?;
    running.waiting().await.map(|_| ()).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct Server {
    toolbox: Toolbox,
    names: Names,
    tools: Vec<ToolDef>,
}

impl Server {
    fn tool(&self, definition: &ToolDef) -> Tool {
        let schema = definition.parameters.as_object().cloned().unwrap_or_default();
        let name = self.names.of(definition.name);
        Tool::new(name, definition.description, Arc::new(schema))
            .with_annotations(ToolAnnotations::new().read_only(true).idempotent(true).open_world(false))
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("assay", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.iter().map(|tool| self.tool(tool)).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let own = self.tools.iter().find(|tool| self.names.of(tool.name) == request.name);
        let call = ToolCall {
            call_id: context.id.to_string(),
            name: own.map_or_else(|| request.name.to_string(), |tool| tool.name.to_owned()),
            arguments: Value::Object(request.arguments.unwrap_or_default()).to_string(),
        };
        // An unknown tool is an answer too: the model reads it and can do better.
        let offered = if own.is_some() { &self.tools[..] } else { &[] };
        let output = self.toolbox.call(&call, offered).await;
        let content = vec![ContentBlock::text(output.text)];
        let result = match output.error {
            None => CallToolResult::success(content),
            Some(_) => CallToolResult::error(content),
        };
        Ok(result.into())
    }
}
