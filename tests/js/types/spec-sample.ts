import { useSSE } from './services/sse-context';

function MyComponent() {
  const { on, onCategory, onHighPriority } = useSSE();
  
  useEffect(() => {
    // Listen to specific event types
    const unsubscribe1 = on('document.uploaded', (event) => {
      console.log('Document uploaded:', event);
    });
    
    // Listen to all security events
    const unsubscribe2 = onCategory('security', (event) => {
      console.log('Security event:', event);
    });
    
    // Listen to high priority events
    const unsubscribe3 = onHighPriority((event) => {
      showCriticalAlert(event);
    });
    
    return () => {
      unsubscribe1();
      unsubscribe2();
      unsubscribe3();
    };
  }, [on, onCategory, onHighPriority]);
}
