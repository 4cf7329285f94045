// Calls go to the host that the page came from: its policy lets nothing else out.
fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((spec) => {
    // No validator badge (it would ask another host), and links that survive a reload.
    window.SwaggerUIBundle({
      spec: { ...spec, servers: [{ url: window.location.origin }] },
      dom_id: "#swagger-ui",
      deepLinking: true,
      docExpansion: "list",
      defaultModelsExpandDepth: 0,
      tryItOutEnabled: false,
      validatorUrl: null,
    });
  });
