// Copy buttons: <button data-copy="id of a field" hidden>. They show only where they can work.

const status = document.getElementById("copy-status");

async function copy(field) {
  // Without a secure context there is no clipboard API; selecting and the old command still work there.
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(field.value);
    return;
  }
  field.focus();
  field.select();
  if (!document.execCommand("copy")) throw new Error("not copied");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    try {
      await copy(field);
      status.textContent = button.textContent = status.dataset.copied;
    } catch {
      field.focus();
      field.select();
      status.textContent = status.dataset.failed;
    }
    setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 2500);
  });
}
