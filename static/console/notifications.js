/** The button that asks for permission to show browser notifications of critical events. */
export function setUpNotifications(stream) {
  const button = document.getElementById('notifications');
  const show = () => {
    const permission = globalThis.Notification?.permission;
    button.hidden = !permission;
    button.disabled = permission === 'denied';
    button.setAttribute('aria-pressed', permission === 'granted');
    button.title = {
      default: 'Show notifications of critical events',
      granted: 'Critical events show a notification',
      denied: 'Notifications are blocked in the browser’s settings for this site',
    }[permission] ?? '';
    button.setAttribute('aria-label', button.title);
  };
  button.addEventListener('click', async () => {
    await stream.requestNotificationPermission();
    show();
  });
  show();
}
